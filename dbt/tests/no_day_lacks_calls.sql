-- Days on which calls are missing here.
select * from {{ ref('aircall', 'aircall__completeness') }} where not is_complete
