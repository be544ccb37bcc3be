{{ aircall.stage('deleted_objects', [
  ['object_type', 'text', 'object_type'],
  ['object_id', 'text', 'object_id'],
  ['deleted_at', 'time', 'deleted_at'],
]) }}
