{{ aircall.stage('ai_voice_agent_sessions', [
  ['ai_voice_agent_session_id', 'text', 'ai_voice_agent_session_id'],
  ['call_id', 'integer', 'call_id'],
  ['number_id', 'integer', 'number_id'],
  ['ai_voice_agent_id', 'text', 'agent_id'],
  ['ai_voice_agent_name', 'text', 'agent_name'],
  ['external_caller_number', 'text', 'external_caller_number'],
  ['started_at', 'time', 'started_at'],
  ['ended_at', 'time', 'ended_at'],
  ['call_end_reason', 'text', 'end_reason'],
  ['escalation_reason', 'text', 'escalation_reason'],
]) }}
