{{ aircall.stage('call_evaluations', [
  ['call_id', 'integer', 'call_id'],
  ['position', 'integer', 'position'],
  ['item.scorecard.name', 'text', 'scorecard'],
  ['item.score.normalized_score', 'number', 'normalized_score'],
  ['item.questions', 'json', 'questions'],
], items='evaluations') }}
