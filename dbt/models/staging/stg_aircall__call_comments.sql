{{ aircall.stage('calls', [
  ['id', 'integer', 'call_id'],
  ['item.id', 'integer', 'comment_id'],
  ['item.content', 'text', 'comment'],
  ['item.posted_at', 'time', 'posted_at'],
  ['item.posted_by.id', 'integer', 'posted_by_id'],
  ['item.posted_by.name', 'text', 'posted_by_name'],
], items='comments') }}
