{{ aircall.stage('dialer_campaigns', [
  ['id', 'integer', 'dialer_campaign_id'],
  ['user_id', 'integer', 'user_id'],
  ['number_id', 'integer', 'number_id'],
  ['created_at', 'time', 'created_at'],
]) }}
