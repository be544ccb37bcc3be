{{ aircall.stage('company', [
  ['name', 'text', 'company_name'],
  ['users_count', 'integer', 'users_count'],
  ['numbers_count', 'integer', 'numbers_count'],
]) }}
