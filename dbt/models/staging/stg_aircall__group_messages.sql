{{ aircall.stage('group_messages', [
  ['id', 'text', 'message_id'],
  ['group_conversation_id', 'text', 'group_conversation_id'],
  ['direction', 'text', 'direction'],
  ['status', 'text', 'status'],
  ['body', 'text', 'body'],
  ['media_details', 'present', 'has_media'],
  ['number.id', 'integer', 'number_id'],
  ['number.name', 'text', 'number_name'],
  ['participants', 'json', 'participants'],
  ['created_at', 'time', 'created_at'],
  ['happened_at', 'time', 'happened_at'],
]) }}
