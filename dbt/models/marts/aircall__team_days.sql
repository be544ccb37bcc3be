select
  teams.team_id,
  calls.call_date,
  max(names.name) as team_name,
  {{ aircall.inbound_metrics() }}
from (
  select distinct call_id, team_id from {{ ref('aircall', 'stg_aircall__call_teams') }} where team_id is not null
) as teams
inner join {{ ref('aircall', 'aircall__calls') }} as calls on calls.call_id = teams.call_id
left join {{ ref('aircall', 'int_aircall__names') }} as names on names.kind = 'team' and names.id = teams.team_id
where calls.is_ended
group by teams.team_id, calls.call_date
