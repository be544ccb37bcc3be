-- Aircall's counts are of UTC days, whatever the time zone of the company.
with calls as (

  select cast({{ aircall.local_time('started_at', 'UTC') }} as date) as date, count(*) as calls
  from {{ ref('aircall', 'aircall__calls') }}
  group by cast({{ aircall.local_time('started_at', 'UTC') }} as date)

)

select
  counts.date,
  counts.calls as calls_at_aircall,
  coalesce(calls.calls, 0) as calls_here,
  case when counts.calls > coalesce(calls.calls, 0) then counts.calls - coalesce(calls.calls, 0) else 0 end as calls_lacking,
  coalesce(calls.calls, 0) >= counts.calls as is_complete,
  counts.counted_at
from {{ ref('aircall', 'stg_aircall__call_counts') }} as counts
left join calls on calls.date = counts.date
