-- Days of which Aircall had more calls than are here.
select * from {{ ref('aircall', 'aircall__completeness') }} where not is_complete
