{{ aircall.stage('call_action_items', [
  ['call_id', 'integer', 'call_id'],
  ['id', 'integer', 'action_item_id'],
  ['content', 'text', 'content'],
  ['ai_generated', 'boolean', 'is_ai_generated'],
  ['assignee_user_id', 'integer', 'assignee_user_id'],
  ['created_at', 'time', 'created_at'],
  ['updated_at', 'time', 'updated_at'],
  ['due_at', 'time', 'due_at'],
  ['completed_at', 'time', 'completed_at'],
]) }}
