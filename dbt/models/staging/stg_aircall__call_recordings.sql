{{ aircall.stage('call_recordings', [
  ['call_id', 'integer', 'call_id'],
  ['kind', 'text', 'kind'],
  ['status', 'text', 'status'],
  ['path', 'text', 'path'],
  ['bytes', 'integer', 'bytes'],
  ['content_type', 'text', 'content_type'],
  ['archived_at', 'time', 'archived_at'],
]) }}
