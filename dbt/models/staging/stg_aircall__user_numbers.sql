{{ aircall.stage('user_numbers', [
  ['user_id', 'integer', 'user_id'],
  ['id', 'integer', 'number_id'],
  ['name', 'text', 'number_name'],
]) }}
