-- If this fails, loads have stopped or loaded nothing at all, or dbt reads another warehouse than the loader writes to.
select max(last_load_at) as last_load_at
from {{ ref('aircall', 'aircall__freshness') }}
where {{ aircall.stale_after_hours() }} > 0
having sum(row_count) = 0
  or max({{ aircall.seconds_between('last_load_at', aircall.typed("'" ~ run_started_at.strftime('%Y-%m-%d %H:%M:%S+00:00') ~ "'", 'time')) }})
    > {{ aircall.stale_after_hours() * 3600 }}
