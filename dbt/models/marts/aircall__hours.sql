select
  call_date,
  call_hour,
  max(day_of_week) as day_of_week,
  {{ aircall.inbound_metrics() }},
  {{ aircall.outbound_metrics() }}
from {{ ref('aircall', 'aircall__calls') }}
where is_ended
group by call_date, call_hour
