{{ aircall.stage('call_custom_summaries', [
  ['call_id', 'integer', 'call_id'],
  ['position', 'integer', 'position'],
  ['language', 'text', 'language'],
  ['item.name', 'text', 'section'],
  ['item.content', 'text', 'content'],
], items='summary_template_results') }}
