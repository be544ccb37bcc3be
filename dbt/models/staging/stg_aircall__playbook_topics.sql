{{ aircall.stage('call_playbook_results', [
  ['call_id', 'integer', 'call_id'],
  ['position', 'integer', 'position'],
  ['item.name', 'text', 'topic'],
  ['item.result', 'text', 'result'],
], items='playbook_result_topics') }}
