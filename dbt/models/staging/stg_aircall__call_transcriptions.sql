{{ aircall.stage('call_transcriptions', [
  ['call_id', 'integer', 'call_id'],
  ['type', 'text', 'type'],
  ['content.language', 'text', 'language'],
  ['content', 'json', 'content'],
]) }}
