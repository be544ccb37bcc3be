{{ aircall.stage('dialer_campaign_phone_numbers', [
  ['user_id', 'integer', 'user_id'],
  ['number', 'text', 'phone_number'],
  ['called', 'boolean', 'was_called'],
  ['created_at', 'time', 'created_at'],
]) }}
