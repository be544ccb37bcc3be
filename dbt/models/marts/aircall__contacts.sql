with calls as (

  select
    contact_id,
    count(*) as calls,
    {{ aircall.count_if("direction = 'inbound'") }} as inbound_calls,
    {{ aircall.count_if("direction = 'inbound' and is_answered") }} as answered_calls,
    {{ aircall.count_if("is_missed") }} as missed_calls,
    {{ aircall.count_if("callback_status = 'waiting'") }} as missed_and_waiting,
    {{ aircall.outbound_metrics() }},
    {{ aircall.sum_if("direction = 'inbound'", "talk_seconds") }} as inbound_talk_seconds,
    min(started_at) as first_call_at,
    max(started_at) as last_call_at
  from {{ ref('aircall', 'aircall__calls') }}
  where is_ended and contact_id is not null
  group by contact_id

),

last_users as (

  select
    contact_id,
    main_user_id,
    main_user_name,
    row_number() over (partition by contact_id order by started_at desc, call_id desc) as position
  from {{ ref('aircall', 'aircall__calls') }}
  where is_ended and is_answered and contact_id is not null and main_user_id is not null

),

phone_numbers as (

  select contact_id, count(*) as phone_numbers
  from {{ ref('aircall', 'stg_aircall__contact_phone_numbers') }}
  group by contact_id

)

select
  contacts.contact_id,
  {{ aircall.full_name('contacts.first_name', 'contacts.last_name') }} as contact_name,
  contacts.company_name as contact_company,
  contacts.created_at,
  contacts.updated_at,
  coalesce(phone_numbers.phone_numbers, 0) as phone_numbers,
  {%- for column in [
    'calls', 'inbound_calls', 'answered_calls', 'missed_calls', 'missed_and_waiting', 'outbound_calls',
    'connected_calls', 'inbound_talk_seconds', 'outbound_talk_seconds',
  ] %}
  coalesce(calls.{{ column }}, 0) as {{ column }},
  {%- endfor %}
  calls.first_call_at,
  calls.last_call_at,
  last_users.main_user_id as last_user_id,
  last_users.main_user_name as last_user_name
from {{ ref('aircall', 'stg_aircall__contacts') }} as contacts
left join calls on calls.contact_id = contacts.contact_id
left join last_users on last_users.contact_id = contacts.contact_id and last_users.position = 1
left join phone_numbers on phone_numbers.contact_id = contacts.contact_id
