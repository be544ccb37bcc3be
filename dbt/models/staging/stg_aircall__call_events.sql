{{ aircall.stage('call_events', [
  ['event_id', 'text', 'event_id'],
  ['event', 'text', 'event'],
  ['call_id', 'integer', 'call_id'],
  ['user_id', 'integer', 'user_id'],
  ['happened_at', 'time', 'happened_at'],
]) }}
