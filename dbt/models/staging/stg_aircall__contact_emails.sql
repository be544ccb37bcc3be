{{ aircall.stage('contacts', [
  ['id', 'integer', 'contact_id'],
  ['item.id', 'integer', 'email_id'],
  ['item.label', 'text', 'label'],
  ['item.value', 'text', 'email'],
], object_type='contact', items='emails') }}
