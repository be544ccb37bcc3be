{{ aircall.stage('contacts', [
  ['id', 'integer', 'contact_id'],
  ['item.id', 'integer', 'phone_number_id'],
  ['item.label', 'text', 'label'],
  ['item.value', 'text', 'phone_number'],
], object_type='contact', items='phone_numbers') }}
