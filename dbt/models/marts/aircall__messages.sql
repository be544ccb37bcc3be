with messages as (

  select
    message_id,
    'single' as kind,
    direction,
    coalesce(channel, 'sms') as channel,
    status,
    body,
    has_media,
    coalesce(external_number, raw_digits) as external_number,
    number_id,
    number_name,
    contact_id,
    {{ aircall.full_name('contact_first_name', 'contact_last_name') }} as contact_name,
    {{ aircall.typed('null', 'text') }} as group_conversation_id,
    coalesce(sent_at, created_at, happened_at) as messaged_at
  from {{ ref('aircall', 'stg_aircall__messages') }}
  union all
  select
    message_id,
    'group',
    direction,
    'sms',
    status,
    body,
    has_media,
    {{ aircall.typed('null', 'text') }},
    number_id,
    number_name,
    {{ aircall.typed('null', 'integer') }},
    {{ aircall.typed('null', 'text') }},
    group_conversation_id,
    coalesce(created_at, happened_at)
  from {{ ref('aircall', 'stg_aircall__group_messages') }}

)

select
  messages.kind,
  messages.message_id,
  messages.direction,
  messages.channel,
  messages.status,
  messages.body,
  messages.has_media,
  messages.messaged_at,
  {{ aircall.local_time('messages.messaged_at') }} as messaged_at_local,
  cast({{ aircall.local_time('messages.messaged_at') }} as date) as message_date,
  cast(extract(hour from {{ aircall.local_time('messages.messaged_at') }}) as integer) as message_hour,
  messages.number_id,
  coalesce(numbers.name, messages.number_name) as number_name,
  messages.contact_id,
  coalesce({{ aircall.full_name('contacts.first_name', 'contacts.last_name') }}, messages.contact_name) as contact_name,
  messages.external_number,
  {{ aircall.phone_key('messages.external_number') }} as caller_key,
  messages.group_conversation_id
from messages
left join {{ ref('aircall', 'int_aircall__names') }} as numbers
  on numbers.kind = 'number' and numbers.id = messages.number_id
left join {{ ref('aircall', 'stg_aircall__contacts') }} as contacts on contacts.contact_id = messages.contact_id
