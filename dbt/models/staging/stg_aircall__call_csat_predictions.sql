{{ aircall.stage('call_csat_predictions', [
  ['call_id', 'integer', 'call_id'],
  ['score', 'integer', 'score'],
]) }}
