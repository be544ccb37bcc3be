with told as (

  select min(case when is_presence_known then {{ aircall.epoch('began_at') }} end) as since
  from {{ ref('aircall', 'int_aircall__agent_states') }}

),

-- The change in the number of calls and agents at each second, within a quarter hour.
changes as (

  select
    quarter,
    began as second,
    case when state = 'call' then 1 else 0 end as calls,
    case when state = 'available' then 1 else 0 end as agents
  from {{ ref('aircall', 'int_aircall__quarters') }}
  where state in ('call', 'available')
  union all
  select quarter, ended, case when state = 'call' then -1 else 0 end, case when state = 'available' then -1 else 0 end
  from {{ ref('aircall', 'int_aircall__quarters') }}
  where state in ('call', 'available') and ended < quarter + 900
  union all
  select quarter, quarter, 0, 0
  from {{ ref('aircall', 'int_aircall__quarters') }}
  where state in ('call', 'available')

),

seconds as (

  select quarter, second, sum(calls) as calls, sum(agents) as agents
  from changes
  group by quarter, second

),

levels as (

  select
    quarter,
    sum(calls) over (partition by quarter order by second) as calls,
    sum(agents) over (partition by quarter order by second) as agents
  from seconds

),

quarters as (

  select quarter, max(calls) as calls, min(agents) as fewest, max(agents) as most
  from levels
  group by quarter

),

begun as (

  select
    {{ aircall.quarter_of(aircall.epoch('started_at')) }} as quarter,
    {{ aircall.count_if("direction = 'inbound'") }} as inbound_calls,
    {{ aircall.count_if("is_missed") }} as missed_calls,
    {{ aircall.count_if("is_missed and missed_call_reason = 'no_available_agent'") }} as missed_no_available_agent
  from {{ ref('aircall', 'aircall__calls') }}
  where is_ended
  group by {{ aircall.quarter_of(aircall.epoch('started_at')) }}

)

select
  {{ aircall.time_at('quarters.quarter') }} as quarter_starts_at,
  {{ aircall.local_time(aircall.time_at('quarters.quarter')) }} as quarter_starts_at_local,
  cast({{ aircall.local_time(aircall.time_at('quarters.quarter')) }} as date) as date,
  cast(extract(hour from {{ aircall.local_time(aircall.time_at('quarters.quarter')) }}) as integer) as hour,
  cast(quarters.calls as bigint) as calls_at_once,
  coalesce(told.since <= quarters.quarter, false) as is_presence_known,
  case when told.since <= quarters.quarter then cast(quarters.fewest as bigint) end as agents_free_min,
  case when told.since <= quarters.quarter then cast(quarters.most as bigint) end as agents_free_max,
  coalesce(begun.inbound_calls, 0) as inbound_calls,
  coalesce(begun.missed_calls, 0) as missed_calls,
  coalesce(begun.missed_no_available_agent, 0) as missed_no_available_agent
from quarters
cross join told
left join begun on begun.quarter = quarters.quarter
