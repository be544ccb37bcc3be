{{ aircall.stage('call_counts', [
  ['date', 'date', 'date'],
  ['calls', 'integer', 'calls'],
  ['counted_at', 'time', 'counted_at'],
]) }}
