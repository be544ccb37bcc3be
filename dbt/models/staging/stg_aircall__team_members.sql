{{ aircall.stage('teams', [
  ['id', 'integer', 'team_id'],
  ['item.id', 'integer', 'user_id'],
  ['item.name', 'text', 'user_name'],
], items='users') }}
