with quarters as (

  select quarters.*, cast(quarter_starts_at_local as date) as date
  from {{ ref('aircall', 'int_aircall__quarters') }} as quarters
  where user_id is not null

),

days as (

  select
    user_id,
    date,
    {{ aircall.local_time(aircall.time_at('min(began)')) }} as began_at_local,
    {{ aircall.local_time(aircall.time_at('max(ended)')) }} as ended_at_local,
    {{ aircall.state_seconds() }}
  from quarters
  group by user_id, date

),

breaks as (

  select user_id, date, coalesce(away_reason, 'not said') as reason, sum(ended - began) as seconds
  from quarters
  where state = 'away'
  group by user_id, date, coalesce(away_reason, 'not said')

),

listed as (

  select
    user_id,
    date,
    {{ aircall.listed(aircall.concatenated(["reason", "': '", aircall.typed('seconds', 'text')]), "', '", "reason") }} as breaks
  from breaks
  group by user_id, date

)

select
  days.*,
  users.name as user_name,
  {{ aircall.occupancy() }} as occupancy,
  listed.breaks
from days
left join listed on listed.user_id = days.user_id and listed.date = days.date
left join {{ ref('aircall', 'int_aircall__names') }} as users on users.kind = 'user' and users.id = days.user_id
