{{ aircall.stage('call_evaluations', [
  ['call_id', 'integer', 'call_id'],
  ['id', 'integer', 'evaluation_id'],
  ['ai_generated', 'boolean', 'is_ai_generated'],
  ['reviewed_at', 'time', 'reviewed_at'],
  ['created_at', 'time', 'created_at'],
  ['updated_at', 'time', 'updated_at'],
  ['evaluations', 'json', 'evaluations'],
]) }}
