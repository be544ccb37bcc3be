{{ aircall.stage('call_sentiments', [
  ['call_id', 'integer', 'call_id'],
  ['position', 'integer', 'position'],
  ['item.type', 'text', 'participant_type'],
  ['item.phone_number', 'text', 'phone_number'],
  ['item.value', 'text', 'sentiment'],
], items='participants') }}
