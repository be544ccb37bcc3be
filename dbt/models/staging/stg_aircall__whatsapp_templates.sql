{{ aircall.stage('whatsapp_templates', [
  ['number_id', 'integer', 'number_id'],
  ['id', 'text', 'whatsapp_template_id'],
  ['name', 'text', 'template_name'],
  ['category', 'text', 'category'],
  ['language', 'text', 'language'],
  ['status', 'text', 'status'],
]) }}
