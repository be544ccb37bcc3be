{{ aircall.stage('user_events', [
  ['event_id', 'text', 'event_id'],
  ['event', 'text', 'event'],
  ['user_id', 'integer', 'user_id'],
  ['substatus', 'text', 'substatus'],
  ['happened_at', 'time', 'happened_at'],
]) }}
