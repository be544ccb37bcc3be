{{ aircall.stage('teams', [
  ['id', 'integer', 'team_id'],
  ['name', 'text', 'team_name'],
  ['created_at', 'time', 'created_at'],
]) }}
