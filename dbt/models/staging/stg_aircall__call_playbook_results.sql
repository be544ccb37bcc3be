{{ aircall.stage('call_playbook_results', [
  ['call_id', 'integer', 'call_id'],
  ['user_id', 'integer', 'user_id'],
  ['adherence_score', 'number', 'adherence_score'],
  ['playbook.name', 'text', 'playbook'],
  ['created_at', 'time', 'created_at'],
  ['updated_at', 'time', 'updated_at'],
]) }}
