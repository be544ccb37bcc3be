{{ aircall.stage('calls', [
  ['id', 'integer', 'call_id'],
  ['started_at', 'time', 'started_at'],
  ['item.id', 'integer', 'team_id'],
  ['item.name', 'text', 'team_name'],
], items='teams') }}
