-- Users, numbers and teams, including deleted ones, whose names are still in their calls. The name is the current one,
-- or that in the latest call.

with current_names as (

  select 'user' as kind, user_id as id, user_name as name from {{ ref('aircall', 'stg_aircall__users') }}
  union all
  select 'number', number_id, number_name from {{ ref('aircall', 'stg_aircall__numbers') }}
  union all
  select 'team', team_id, team_name from {{ ref('aircall', 'stg_aircall__teams') }}

),

names_in_calls as (

  select 'user' as kind, user_id as id, user_name as name, started_at, call_id
  from {{ ref('aircall', 'int_aircall__calls') }}
  union all
  select 'user', transferred_to_id, transferred_to_name, started_at, call_id
  from {{ ref('aircall', 'int_aircall__calls') }}
  union all
  select 'user', transferred_by_id, transferred_by_name, started_at, call_id
  from {{ ref('aircall', 'int_aircall__calls') }}
  union all
  select 'user', assigned_to_id, assigned_to_name, started_at, call_id from {{ ref('aircall', 'int_aircall__calls') }}
  union all
  select 'number', number_id, number_name, started_at, call_id from {{ ref('aircall', 'int_aircall__calls') }}
  union all
  select 'team', team_id, team_name, started_at, call_id from {{ ref('aircall', 'stg_aircall__call_teams') }}

),

latest as (

  select
    kind,
    id,
    name,
    row_number() over (partition by kind, id order by started_at desc nulls last, call_id desc) as position
  from names_in_calls
  where id is not null

)

select
  coalesce(current_names.kind, latest.kind) as kind,
  coalesce(current_names.id, latest.id) as id,
  coalesce(current_names.name, latest.name) as name,
  -- Null if the list was never loaded.
  case when current_names.id is not null then false when known.kind is not null then true end as is_deleted
from current_names
full join (select * from latest where position = 1) as latest
  on latest.kind = current_names.kind and latest.id = current_names.id
left join (select distinct kind from current_names) as known on known.kind = latest.kind
