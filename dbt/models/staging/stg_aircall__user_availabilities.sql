{{ aircall.stage('user_availabilities', [
  ['id', 'integer', 'user_id'],
  ['availability', 'text', 'availability'],
  ['_sdc_extracted_at', 'time', 'seen_at'],
]) }}
