{{ aircall.stage('calls', [
  ['id', 'integer', 'call_id'],
  ['position', 'integer', 'position'],
  ['item.title', 'text', 'title'],
  ['item.key', 'text', 'key'],
  ['item.branch', 'text', 'branch'],
  ['item.created_at', 'time', 'chosen_at'],
], items='ivr_options_selected') }}
