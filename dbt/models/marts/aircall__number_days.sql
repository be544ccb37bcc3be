select
  number_id,
  call_date,
  max(number_name) as number_name,
  {{ aircall.inbound_metrics() }},
  {{ aircall.outbound_metrics() }}
from {{ ref('aircall', 'aircall__calls') }}
where is_ended and number_id is not null
group by number_id, call_date
