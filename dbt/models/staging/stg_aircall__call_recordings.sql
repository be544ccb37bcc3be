{{ aircall.stage('call_recordings', [
  ['call_id', 'integer', 'call_id'],
  ['kind', 'text', 'kind'],
]) }}
