{{ aircall.stage('user_availabilities', [
  ['id', 'integer', 'user_id'],
  ['availability', 'text', 'availability'],
]) }}
