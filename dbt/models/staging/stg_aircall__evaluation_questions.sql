-- The fields of a question are not documented, so it stays as received.
with loaded as (

  select call_id, position as scorecard_position, scorecard, questions
  from {{ ref('aircall', 'stg_aircall__evaluation_scorecards') }}

),

listed as (

  {{ aircall.json_items('questions') }}

)

select call_id, scorecard_position, scorecard, position, item as question
from listed
