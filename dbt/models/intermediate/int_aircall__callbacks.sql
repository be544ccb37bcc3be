{#- In descending order, so that the smallest position so far is the next one. #}
{%- set later -%}
  over (partition by caller_key order by position desc rows between unbounded preceding and 1 preceding)
{%- endset -%}

-- The next calls between the company and the caller after each missed call, unless the number is hidden. Calls are
-- ordered by start, and by id within a second.

with calls as (

  select
    call_id,
    caller_key,
    direction,
    is_answered,
    is_missed,
    started_at,
    ended_at,
    user_id,
    main_user_id,
    row_number() over (partition by caller_key order by started_at, call_id) as position
  from {{ ref('aircall', 'int_aircall__calls') }}
  where caller_key is not null

),

followed as (

  select
    calls.*,
    min(case when direction = 'outbound' then position end) {{ later }} as next_outbound,
    min(case when direction = 'inbound' then position end) {{ later }} as next_inbound,
    min(case when direction = 'inbound' and is_answered then position end) {{ later }} as next_answered
  from calls

)

select
  missed.call_id,
  outbound.call_id as callback_call_id,
  outbound.started_at as called_back_at,
  outbound.user_id as called_back_by_id,
  outbound.is_answered as callback_was_answered,
  {{ aircall.seconds_after('missed.ended_at', 'outbound.started_at') }} as called_back_after_seconds,
  inbound.call_id as called_again_call_id,
  inbound.started_at as called_again_at,
  {{ aircall.seconds_after('missed.ended_at', 'inbound.started_at') }} as called_again_after_seconds,
  answered.call_id as answered_again_call_id,
  answered.started_at as answered_again_at,
  answered.main_user_id as answered_again_by_id
from followed as missed
left join calls as outbound on outbound.caller_key = missed.caller_key and outbound.position = missed.next_outbound
left join calls as inbound on inbound.caller_key = missed.caller_key and inbound.position = missed.next_inbound
left join calls as answered on answered.caller_key = missed.caller_key and answered.position = missed.next_answered
where missed.is_missed
