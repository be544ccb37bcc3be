{{ aircall.stage('call_summaries', [
  ['call_id', 'integer', 'call_id'],
  ['content', 'text', 'summary'],
  ['created_at', 'time', 'created_at'],
]) }}
