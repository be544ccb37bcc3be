{{ aircall.stage('sms_templates', [
  ['id', 'integer', 'sms_template_id'],
  ['name', 'text', 'template_name'],
  ['body', 'text', 'body'],
]) }}
