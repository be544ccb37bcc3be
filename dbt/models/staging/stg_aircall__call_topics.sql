{{ aircall.stage('call_topics', [
  ['call_id', 'integer', 'call_id'],
  ['position', 'integer', 'position'],
  ['item', 'text', 'topic'],
], items='content') }}
