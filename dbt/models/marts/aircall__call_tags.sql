-- A tag that was removed and added again counts once.
with tagged as (

  select
    call_tags.*,
    row_number() over (partition by call_id, tag_id order by tagged_at desc nulls last, tagged_by_id nulls last) as position
  from {{ ref('aircall', 'stg_aircall__call_tags') }} as call_tags
  where tag_id is not null

)

select
  tagged.call_id,
  tagged.tag_id,
  coalesce(tags.tag_name, tagged.tag_name) as tag_name,
  tags.color as tag_color,
  tagged.tagged_at,
  tagged.tagged_by_id,
  coalesce(users.name, tagged.tagged_by_name) as tagged_by_name,
  calls.call_date,
  calls.direction,
  calls.is_answered,
  calls.is_missed,
  calls.number_id,
  calls.main_user_id,
  calls.talk_seconds
from tagged
inner join {{ ref('aircall', 'aircall__calls') }} as calls on calls.call_id = tagged.call_id
left join {{ ref('aircall', 'stg_aircall__tags') }} as tags on tags.tag_id = tagged.tag_id
left join {{ ref('aircall', 'int_aircall__names') }} as users on users.kind = 'user' and users.id = tagged.tagged_by_id
where tagged.position = 1
