with hours as (

  select
    user_id,
    cast(quarter_starts_at_local as date) as date,
    cast(extract(hour from quarter_starts_at_local) as integer) as hour,
    {{ aircall.state_seconds() }}
  from {{ ref('aircall', 'int_aircall__quarters') }}
  where user_id is not null
  group by user_id, cast(quarter_starts_at_local as date), cast(extract(hour from quarter_starts_at_local) as integer)

)

select
  hours.*,
  users.name as user_name,
  {{ aircall.occupancy() }} as occupancy
from hours
left join {{ ref('aircall', 'int_aircall__names') }} as users on users.kind = 'user' and users.id = hours.user_id
