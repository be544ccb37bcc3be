{{ aircall.stage('calls', [
  ['id', 'integer', 'call_id'],
  ['position', 'integer', 'position'],
  ['item.type', 'text', 'participant_type'],
  ['item.id', 'text', 'participant_id'],
  ['item.name', 'text', 'participant_name'],
  ['item.phone_number', 'text', 'phone_number'],
], items='conference_participants') }}
