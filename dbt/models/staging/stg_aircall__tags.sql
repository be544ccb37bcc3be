{{ aircall.stage('tags', [
  ['id', 'integer', 'tag_id'],
  ['name', 'text', 'tag_name'],
  ['color', 'text', 'color'],
  ['description', 'text', 'description'],
]) }}
